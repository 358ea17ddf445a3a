"""What joins this package to others. Each module needs an extra of its own, and nothing else imports it."""
