"""Look at a store, a server or a server's configuration, and report dangers and faults, each with its remedy.

Facts are gathered first, and nothing is changed. The rules then judge the facts without I/O.
"""

from ndb_models.doctor.diagnosis import Diagnosis, diagnose_configuration, diagnose_uri
from ndb_models.doctor.findings import Finding, Severity

__all__ = ["Diagnosis", "Finding", "Severity", "diagnose_configuration", "diagnose_uri"]
