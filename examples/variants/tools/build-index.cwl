#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
label: Index the reference (bowtie2-build)

hints:
  SoftwareRequirement:
    packages:
      bowtie2: {version: ["2.5.0"]}
  ResourceRequirement:
    coresMin: 1
    ramMin: 512

baseCommand: [bowtie2-build, --quiet]

inputs:
  reference:
    type: File
    label: FASTA file
    inputBinding: {position: 1}

arguments:
  - valueFrom: reference
    position: 2

outputs:
  index:
    type: File[]
    label: Six files named reference.*
    outputBinding: {glob: "reference*.bt2*"}
