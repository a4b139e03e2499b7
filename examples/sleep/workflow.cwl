#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: Workflow
label: A workflow that takes its time
doc: >
  Sleeps as long as it is told, saying every second that it is still there: something to watch, to follow the log of,
  to cancel and to restart.

inputs:
  seconds:
    type: int
    default: 60
    doc: How long the tool sleeps, in seconds.

outputs:
  slept:
    type: File
    outputSource: sleep/slept

steps:
  sleep:
    label: Sleep
    run:
      class: CommandLineTool
      doc: Counts seconds on standard error, then writes how many they were.
      baseCommand: [python3, -c]
      arguments:
        - |
          import sys, time
          seconds = int(sys.argv[1])
          for second in range(seconds):
              print(f"slept {second} of {seconds} s", file=sys.stderr, flush=True)
              time.sleep(1)
          print(seconds)
      inputs:
        seconds:
          type: int
          inputBinding: {position: 1}
      stdout: slept.txt
      outputs:
        slept:
          type: stdout
    in:
      seconds: seconds
    out: [slept]
