"""`make bench`: figures with their sizes, as ratios to a floor measured in the same run. Timings are never tests."""
