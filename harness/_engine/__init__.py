"""Running trials: one trial, the runner process that runs them one after another, and replaying a
recording."""
