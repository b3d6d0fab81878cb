"""Errors a user can cause; each message says what, the value, what was expected and the next step.

    OsorError
    ├── ConfigError    an option, preset or configuration file
    ├── VideoError     a source that cannot be read, a target that cannot be written
    ├── MaskError      a mask, box or polygon that does not fit the clip
    └── WeightsError   model weights that are missing, damaged or of another kind

The command line turns each into one line on stderr and exit code 2.
"""


class OsorError(Exception):
    """Base of every error that the user's input can cause."""


class ConfigError(OsorError):
    """An option, preset or configuration file is wrong."""


class VideoError(OsorError):
    """A source cannot be read or a target cannot be written."""


class MaskError(OsorError):
    """A mask, box or polygon does not fit the clip."""


class WeightsError(OsorError):
    """Model weights are missing, damaged or of another kind."""
