"""Code and its contexts, through the official SDK of the code interpreter."""

from e2b import NotFoundException
from e2b_code_interpreter import Sandbox

sandbox = Sandbox.create(timeout=60, envs={"WHO": "you"})

ran = sandbox.run_code("x = 20\nprint('hi')\nx * 2 + 2")
assert (ran.text, ran.logs.stdout, ran.execution_count) == ("42", ["hi\n"], 1), ran
assert ran.error is None

told = []
ran = sandbox.run_code("x += 1; print(x); import sys; print('oh', file=sys.stderr)",
                       on_stdout=lambda line: told.append(line.line),
                       on_stderr=lambda line: told.append(line.line))
assert told == ["21\n", "oh\n"] and ran.execution_count == 2, (told, ran)

ran = sandbox.run_code("import os; os.environ['WHO'] + ' ' + os.environ['NOW']", envs={"NOW": "there"})
assert ran.text == "you there", ran

ran = sandbox.run_code("print(1)\nraise ValueError('bad')")
assert (ran.error.name, ran.error.value, ran.logs.stdout) == ("ValueError", "bad", ["1\n"]), ran
assert sandbox.run_code("import numpy").error.name == "NotImplementedError"

contexts = sandbox.list_code_contexts()
assert sorted(listed.language for listed in contexts) == ["javascript", "python"], contexts

context = sandbox.create_code_context(cwd="/tmp")
assert sandbox.run_code("x", context=context).error.name == "NameError"
sandbox.run_code("x = 'its own'", context=context)
assert sandbox.run_code("x", context=context).text == "its own"
assert sandbox.run_code("x").text == "21"
assert context.id in [listed.id for listed in sandbox.list_code_contexts()]
sandbox.restart_code_context(context)
assert sandbox.run_code("x", context=context).error.name == "NameError"
sandbox.remove_code_context(context)
try:
    sandbox.run_code("x", context=context)
    raise AssertionError("the context is still there")
except NotFoundException:
    pass

assert sandbox.commands.run("echo beside").stdout == "beside\n"
assert sandbox.kill()
print("done")
