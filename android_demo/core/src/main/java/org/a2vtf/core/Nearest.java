package org.a2vtf.core;

/**
 * The k nearest of all offered items, in order; ties keep the order of the offers.
 */
final class Nearest {
  private final String[] labels;
  private final double[] distances;
  private int count;

  Nearest(int k) {
    labels = new String[k];
    distances = new double[k];
  }

  void offer(String label, double distance) {
    if (count == labels.length && distance >= distances[count - 1]) {
      return;
    }
    int place = count < labels.length ? count++ : count - 1;
    for (; place > 0 && distances[place - 1] > distance; place--) {
      labels[place] = labels[place - 1];
      distances[place] = distances[place - 1];
    }
    labels[place] = label;
    distances[place] = distance;
  }

  int count() {
    return count;
  }

  int votes(String label) {
    int votes = 0;
    for (int i = 0; i < count; i++) {
      votes += labels[i].equals(label) ? 1 : 0;
    }
    return votes;
  }

  /** The label with the most votes; the nearest item breaks ties. */
  String winner() {
    String winner = labels[0];
    for (int i = 1; i < count; i++) {
      if (votes(labels[i]) > votes(winner)) {
        winner = labels[i];
      }
    }
    return winner;
  }

  /** Distance to the nearest item with this label. */
  double distance(String label) {
    int place = 0;
    while (!labels[place].equals(label)) {
      place++;
    }
    return distances[place];
  }
}
