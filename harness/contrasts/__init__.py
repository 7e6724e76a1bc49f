"""What differs between losses, schedules, penalties or jobs: contrasts of their seeds, with intervals and verdicts."""
