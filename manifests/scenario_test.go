package manifests

const scenario = "../docs/examples/from-the-traefik-chart/postern-values.yaml"
