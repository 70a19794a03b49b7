"""A trial that is given up when a task is about to execute a program, and is traced for that."""

from harness._engine.trial import run_trial
from harness._supervisor.execs import Execs
from harness._supervisor.tasks import Task
from harness.subject import TRIAL_DIR, TrialPlan

begin = Execs.begin
begun = 0


def give_up_at_the_second(self: Execs, task: Task) -> None:
    global begun
    begin(self, task)
    begun += 1
    if begun == 2:
        raise KeyboardInterrupt


Execs.begin = give_up_at_the_second  # type: ignore[method-assign]
command = ("/bin/sh", "-c", "exec /bin/true")
try:
    run_trial(TrialPlan(command=command, cwd=TRIAL_DIR, home=TRIAL_DIR))
except KeyboardInterrupt:
    print("given up")
