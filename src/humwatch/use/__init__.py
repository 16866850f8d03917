"""A detector in use: packed in one file, it judges recordings where there is no workflow, no data set and no label."""
