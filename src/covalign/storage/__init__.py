"""How results and trainings are kept: whole, checked, and loadable later."""
