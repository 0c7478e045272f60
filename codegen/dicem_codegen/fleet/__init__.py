"""Programs to boats: `dicem deploy`, `dicem undeploy`, `dicem deployments`, `dicem keygen`."""
