"""What the demo and the end-to-end tests share: kubectl, storage, workloads, installing the chart."""
