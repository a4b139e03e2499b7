#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
label: Unpack a gzip'ed file; a plain one passes as it is

baseCommand: [gzip, --decompress, --stdout, --force]

inputs:
  packed:
    type: File
    inputBinding: {position: 1}

stdout: reference.fa

outputs:
  plain:
    type: stdout
