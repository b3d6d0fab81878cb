"""The editor's desk: a local page on which a clip is opened, marked, followed, previewed, finished and compared."""
