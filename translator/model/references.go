package model

// ObjectKey names a namespaced object of a cluster.
type ObjectKey struct{ Cluster, Namespace, Name string }

// References are the Secrets and ConfigMaps that were looked up for a Gateway, whether or not they exist: the absence or
// the content of any other changes nothing. Once one of them is there, others may be looked up behind it. Each list is sorted and names nothing twice.
type References struct {
	Secrets    []ObjectKey
	ConfigMaps []ObjectKey
}
