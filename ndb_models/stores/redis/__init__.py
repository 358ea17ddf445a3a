"""The store on a Redis or Valkey, a single server or a cluster: shared by any number of processes on any machines."""
