"""What calibration data say: ranges, accuracy, and the choice of precision for a target."""
