"""The compiler: from a query and a serial program to a distributed one."""
