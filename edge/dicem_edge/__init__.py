"""The vehicle's part: cameras and recordings in, programs run, crops out, answers kept."""
