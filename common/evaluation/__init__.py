"""How methods are measured: metrics, deep features, comparisons, tables, timing."""
