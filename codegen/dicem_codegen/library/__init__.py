"""Programs with where they come from: the library that `dicem programs`, `dicem ask` and `dicem deploy` share."""

from .store import ProgramStore, default_folder
from .stored import StoredProgram, name_of, program_name, stale, stored_program

__all__ = ["ProgramStore", "StoredProgram", "default_folder", "name_of", "program_name", "stale", "stored_program"]
