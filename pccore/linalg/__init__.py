"""Linear algebra of predictive coding: block-tridiagonal solves, LAPACK, Lanczos."""
