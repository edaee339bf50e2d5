"""The approximation layer: real functions as integer lookup tables with proven errors."""
