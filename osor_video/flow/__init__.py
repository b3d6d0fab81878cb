"""Optical flow: estimation, trust, warping and completion behind a removed object."""
