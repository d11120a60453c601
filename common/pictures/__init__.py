"""Pictures and holes: files and arrays, data sets, masks of every kind, crops, the sample."""
