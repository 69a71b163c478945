"""An HTTP service and a page to try models on: `etlch serve`. See docs/serve.md."""
