# Of a List of a namespace's Deployments, Pods and EndpointSlices: what the Deployment $app asks for and has, and each pod
# that the Service $app sends requests to, with the port and the image.
def container: .spec.containers[] | select(.name == $app).image;

.items as $items
| ($items | map(select(.kind == "Pod") | {(.metadata.name): container}) | add // {}) as $images
| [$items[] | select(.kind == "EndpointSlice" and .metadata.labels["kubernetes.io/service-name"] == $app)
    | ([.ports[]? | select(.name == "http").port] | first) as $port
    | .endpoints[]? | select(.conditions.ready != false)
    | {pod: (.targetRef.name // .addresses[0]), port: $port}] as $endpoints
| [$items[] | select(.kind == "Deployment" and .metadata.name == $app)] | first
| {
    exists: (. != null),
    image: (if . then (.spec.template | container) else null end),
    wanted: (.spec.replicas // 0),
    updated: (.status.updatedReplicas // 0),
    ready: (.status.readyReplicas // 0),
    all: (.status.replicas // 0),
    observed: ((.status.observedGeneration // 0) >= (.metadata.generation // 0)),
    # An address of each family of the same pod is one.
    endpoints: ($endpoints | unique | map(. + {image: $images[.pod]}))
  }
