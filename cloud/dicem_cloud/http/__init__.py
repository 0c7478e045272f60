"""The HTTP API: functions to call, answers to read and to watch.  `app.py` reads from the top down."""
