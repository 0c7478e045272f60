"""Programs with where they come from: the library that `dicem programs`, `dicem ask` and `dicem deploy` share."""
