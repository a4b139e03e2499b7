#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
label: Sort alignments by position and index them (samtools sort)

hints:
  SoftwareRequirement:
    packages:
      samtools: {version: ["1.16.1"]}
  ResourceRequirement:
    coresMin: 1
    ramMin: 1024

baseCommand: [samtools, sort, --write-index]

inputs:
  alignments:
    type: File
    inputBinding: {position: 1}

arguments:
  - {prefix: -o, valueFrom: "alignments.bam##idx##alignments.bam.bai"}

outputs:
  sorted:
    type: File
    secondaryFiles: [.bai]
    outputBinding: {glob: alignments.bam}
