#!/usr/bin/env cwl-runner
cwlVersion: v1.2
class: CommandLineTool
label: Index variants by position (bcftools index)

requirements:
  InitialWorkDirRequirement:
    listing:
      - $(inputs.variants)  # the index is written beside them
hints:
  SoftwareRequirement:
    packages:
      bcftools: {version: ["1.16"]}

baseCommand: [bcftools, index]

inputs:
  variants:
    type: File
    inputBinding: {position: 1, valueFrom: $(self.basename)}

outputs:
  indexed:
    type: File
    secondaryFiles: [.csi]
    outputBinding: {glob: $(inputs.variants.basename)}
