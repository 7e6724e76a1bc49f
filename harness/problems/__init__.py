"""Problems: their samples. What a job says of them is in `job.parts.problems`, and needs no torch."""
