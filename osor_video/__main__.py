"""``python -m osor_video`` is the command ``osor-video``."""

from osor_video.apps.cli import main

main()
