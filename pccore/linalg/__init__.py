"""Linear algebra of predictive coding: block-tridiagonal solves, Lanczos, Gauss-Newton steps."""
