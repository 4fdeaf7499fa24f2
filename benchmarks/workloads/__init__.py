"""What is measured of actors: one file per workload, with the plain baselines that do the same work."""
