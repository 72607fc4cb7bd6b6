"""CG Pipeline: lifetime snapshots, deltas and artist royalties from six social platforms and CSV exports."""
