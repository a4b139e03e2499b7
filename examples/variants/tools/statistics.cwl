#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
label: Count variants by kind and quality (bcftools stats)

hints:
  SoftwareRequirement:
    packages:
      bcftools: {version: ["1.16"]}

baseCommand: [bcftools, stats]

inputs:
  variants:
    type: File
    inputBinding: {position: 1}

stdout: variant-statistics.txt

outputs:
  counts:
    type: stdout
