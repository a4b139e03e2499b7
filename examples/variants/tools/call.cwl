#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
label: Call variants (bcftools call)

hints:
  SoftwareRequirement:
    packages:
      bcftools: {version: ["1.16"]}
  ResourceRequirement:
    coresMin: 1
    ramMin: 256

baseCommand: [bcftools, call, --multiallelic-caller, --variants-only]

inputs:
  likelihoods:
    type: File
    inputBinding: {position: 1}
  ploidy:
    type: int
    inputBinding: {prefix: --ploidy}

arguments:
  - {prefix: --output-type, valueFrom: z}
  - {prefix: --output, valueFrom: variants.vcf.gz}

outputs:
  variants:
    type: File
    outputBinding: {glob: variants.vcf.gz}
