"""What other modules of the package use, so that a change here changes their numbers."""

HALF = 0.5
