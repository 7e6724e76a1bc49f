"""Problems: where real samples come from.

`specs` says what a job file may contain and needs no torch; `sources` holds the samples on a device.
"""
