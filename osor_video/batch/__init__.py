"""Many clips: a list of jobs, checked as a whole, done by several workers on this machine or on a Ray cluster."""
