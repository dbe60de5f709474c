package model

// ObjectKey names a namespaced object of a cluster.
type ObjectKey struct{ Cluster, Namespace, Name string }

// References are the objects that the Gateway was made by beside those that routing needs, whether or not they exist:
// whoever watches a cluster need watch no others. Each list is sorted and names nothing twice.
type References struct {
	Secrets    []ObjectKey
	ConfigMaps []ObjectKey
}
