"""What was changed, by what and by whom: the record of an edit, its signature, the log of all jobs, and reading them back."""
