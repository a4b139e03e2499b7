#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: Workflow
label: A workflow that fails
doc: >
  Its second tool says why on standard error and exits with 3 (or with the code you give). It shows what Lando tells the owner of a run
  that failed: which tool, its exit code, and its last words.

inputs:
  exit_code:
    type: int
    default: 3
    doc: What the second tool exits with; with 0 the workflow succeeds.

outputs:
  greeting:
    type: File
    outputSource: prepare/greeting

steps:
  prepare:
    label: Prepare
    run:
      class: CommandLineTool
      doc: Writes a line, so that the run has come somewhere before it fails.
      baseCommand: [python3, -c, 'print("This far all is well.")']
      inputs: []
      stdout: greeting.txt
      outputs:
        greeting:
          type: stdout
    in: {}
    out: [greeting]

  check:
    label: Check
    run:
      class: CommandLineTool
      doc: Complains and exits.
      baseCommand: [python3, -c]
      arguments:
        - |
          import sys
          code = int(sys.argv[1])
          if code:
              print("reading", sys.argv[2], file=sys.stderr)
              print("check: line 1: expected a FASTQ header, found a greeting", file=sys.stderr)
          sys.exit(code)
      inputs:
        exit_code:
          type: int
          inputBinding: {position: 1}
        greeting:
          type: File
          inputBinding: {position: 2}
      outputs: []
    in:
      exit_code: exit_code
      greeting: prepare/greeting
    out: []
