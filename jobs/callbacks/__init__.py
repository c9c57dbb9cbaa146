"""Ready progress callbacks: a bar, a log, W&B, an export kept up to date, a webhook."""
