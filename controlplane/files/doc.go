// Package files reads Kubernetes manifests from files and folders, and follows their edits.
//
// Decode turns the bytes of one file into objects that know their lines. Read and State.Watch keep the objects of many
// files, where each file that stops parsing keeps the objects that it had before.
package files
