"""One part of each kind that a job file can name, brought from outside the harness."""
